"""How models are judged: the evaluator, its metrics over sets, codecs' and classifiers' measurements."""
