"""One file a step, each with its DDL written out: a step never changes when the models do."""
