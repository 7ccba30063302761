"""The parts that run on one machine: embedded PostgreSQL and Valkey, and the processes of `defray up`."""
