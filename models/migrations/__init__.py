"""The steps that bring a database to the tables of `models`; add first, remove a release later."""
