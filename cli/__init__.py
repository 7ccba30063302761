"""The command `defray`: one file a group of verbs; what moves money is done by the producer and the books."""
