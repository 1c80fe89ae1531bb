-- The warehouse's roles, with just the rights they need; docs/security.md says who uses which.
--   taxi_loader  owns the schemas `taxi` and `taxi_marts` and what is in them, can make no other schema and no other role
--   taxi_reader  reads what is in those schemas, and no more
-- The image of PostgreSQL runs this once, when the volume is empty. On a server of yours, and to change a password:
-- POSTGRES_PASSWORD=... WAREHOUSE_READER_PASSWORD=... psql -d DATABASE -f roles.sql
\set ON_ERROR_STOP on
\getenv loader_password POSTGRES_PASSWORD
\getenv reader_password WAREHOUSE_READER_PASSWORD

BEGIN;

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY ['taxi_loader', 'taxi_reader']) AS name
WHERE to_regrole(name) IS NULL \gexec
ALTER ROLE taxi_loader LOGIN PASSWORD :'loader_password';
ALTER ROLE taxi_reader LOGIN PASSWORD :'reader_password';
-- A transaction that an analyst forgot would hold back the publishing of months.
ALTER ROLE taxi_reader SET idle_in_transaction_session_timeout = '10min';

REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO taxi_loader;
GRANT CONNECT ON DATABASE :"DBNAME" TO taxi_reader;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- To name, in a message, the session of somebody else that a load waits for.
GRANT pg_read_all_stats TO taxi_loader;

CREATE SCHEMA IF NOT EXISTS taxi;
CREATE SCHEMA IF NOT EXISTS taxi_marts;
ALTER SCHEMA taxi OWNER TO taxi_loader;
ALTER SCHEMA taxi_marts OWNER TO taxi_loader;
GRANT USAGE ON SCHEMA taxi, taxi_marts TO taxi_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA taxi, taxi_marts TO taxi_reader;
-- Each month is a new table.
ALTER DEFAULT PRIVILEGES FOR ROLE taxi_loader IN SCHEMA taxi, taxi_marts GRANT SELECT ON TABLES TO taxi_reader;

COMMIT;
