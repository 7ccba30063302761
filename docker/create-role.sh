#!/bin/sh
# Runs once, when the database is set up: the application's role is no superuser (its tables stay append-only).
set -eu
psql --set ON_ERROR_STOP=1 --username postgres --dbname postgres <<'SQL'
\set password `cat /run/secrets/database_password`
CREATE ROLE defray LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE defray OWNER defray;
SQL
