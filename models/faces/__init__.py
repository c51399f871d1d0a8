"""Networks whose output is an embedding of a face, judged by whether two pictures show one person."""
