"""How pictures are judged that a codec drew anew: the features behind FD, sharpness, and a server that gives them."""
