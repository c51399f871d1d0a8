"""What models must know of the devices they are trained on."""
