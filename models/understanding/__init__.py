"""Understanding pictures from their codes: networks that read what a codec's stream holds, without drawing it."""
