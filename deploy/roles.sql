-- The two roles and the database, made once by a superuser of the cluster:
--     psql -f deploy/roles.sql
-- Afterwards give each role its password with \password, or let pg_hba.conf admit it by other means.
-- The names of the roles are fixed: the migrations grant rights to creditvault_app by name.

-- Owns the tables. Used by `creditvault migrate` and by nothing else.
CREATE ROLE creditvault_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

-- What the server and the worker run as. The migrations grant it what it needs, table by table.
CREATE ROLE creditvault_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

CREATE DATABASE creditvault OWNER creditvault_owner TEMPLATE template0 ENCODING 'UTF8';

-- Nobody else connects, and nobody but the owner makes anything in it.
REVOKE ALL ON DATABASE creditvault FROM PUBLIC;
GRANT CONNECT ON DATABASE creditvault TO creditvault_app;
