-- Dagster's database: a role that owns it and nothing else. The image of PostgreSQL runs this once, when the
-- volume is empty; `psql -f` by an administrator runs it again, for instance with another password.
\set ON_ERROR_STOP on
\getenv password POSTGRES_PASSWORD

SELECT 'CREATE ROLE dagster' WHERE to_regrole('dagster') IS NULL \gexec
ALTER ROLE dagster LOGIN PASSWORD :'password';
ALTER DATABASE :"DBNAME" OWNER TO dagster;
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
