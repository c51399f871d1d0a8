"""What a signal of an electrocardiogram is here, in numbers; without TensorFlow, which takes seconds to import."""

RATE = 300  # samples a second, of every record; recordings of other rates are resampled at ingest
MICROVOLTS = 1000.0  # in a millivolt
LIMIT = (2**15 - 1) / MICROVOLTS  # millivolts that a record, of int16 microvolts, can hold
SHORTEST_S, LONGEST_S = 1, 1800  # of a recording that is taken as a whole, seconds
CLASSES = {"N": "normal", "A": "fibrillation", "O": "other", "~": "noise"}  # of the PhysioNet/CinC Challenge 2017
SCORED = ("N", "A", "O")  # of which the challenge takes the mean F1
