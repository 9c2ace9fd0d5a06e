"""Who may do what in the embedded Postgres: SQL for its single-user mode, statements ended by an empty line.

The program's role owns its database and nothing else. The superuser that every cluster needs cannot log in.
"""

from typing import Final

ROLE: Final = "liqmon"
DATABASE: Final = "liqmon"
SUPERUSER: Final = "postgres"

# The bootstrap superuser's number, whatever its name. It cannot lose its rights, so it gives its name away.
BOOTSTRAP_OID: Final = 10


def of_new_cluster(password: str, *, creates_databases: bool = False) -> str:
    """Return what makes role and database in a cluster of :data:`SUPERUSER`, to be run on its own database."""
    return f"""{_login(password, creates_databases=creates_databases)}

ALTER ROLE {SUPERUSER} NOLOGIN PASSWORD NULL;

CREATE DATABASE {DATABASE} OWNER {ROLE};

"""


def of_old_cluster(password: str, *, creates_databases: bool = False) -> str:
    """Return what turns a cluster whose superuser is :data:`ROLE` into one like a new one, all of it or nothing.

    To be run on :data:`DATABASE`. A second run changes nothing.
    """
    return f"""DO $$
DECLARE
  one record;
BEGIN
  IF (SELECT rolname FROM pg_authid WHERE oid = {BOOTSTRAP_OID}) <> '{ROLE}' THEN
    RETURN;
  END IF;
  -- Nobody may rename the role of his own session.
  CREATE ROLE renamer SUPERUSER;
  SET SESSION AUTHORIZATION renamer;
  ALTER ROLE {ROLE} RENAME TO {SUPERUSER};
  SET SESSION AUTHORIZATION {SUPERUSER};
  DROP ROLE renamer;
  ALTER ROLE {SUPERUSER} NOLOGIN PASSWORD NULL;
  {_login(password, creates_databases=creates_databases)}
  ALTER DATABASE {DATABASE} OWNER TO {ROLE};
  FOR one IN
    SELECT 'TABLE' AS kind, oid::regclass::text AS name FROM pg_class
      WHERE relnamespace = 'public'::regnamespace AND relowner = {BOOTSTRAP_OID}
      AND relkind IN ('r', 'p', 'v', 'm', 'f')
    -- The sequence of a column follows its table.
    UNION ALL SELECT 'SEQUENCE', oid::regclass::text FROM pg_class
      WHERE relnamespace = 'public'::regnamespace AND relowner = {BOOTSTRAP_OID} AND relkind = 'S'
      AND oid NOT IN (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype IN ('a', 'i'))
    UNION ALL SELECT 'ROUTINE', oid::regprocedure::text FROM pg_proc
      WHERE pronamespace = 'public'::regnamespace AND proowner = {BOOTSTRAP_OID}
    UNION ALL SELECT 'TYPE', oid::regtype::text FROM pg_type
      WHERE typnamespace = 'public'::regnamespace AND typowner = {BOOTSTRAP_OID} AND typrelid = 0 AND typelem = 0
  LOOP
    EXECUTE format('ALTER %s %s OWNER TO {ROLE}', one.kind, one.name);
  END LOOP;
END
$$;

"""  # noqa: S608  the password is made of letters, digits, - and _


def _login(password: str, *, creates_databases: bool) -> str:
    more = " CREATEDB" if creates_databases else ""
    return f"CREATE ROLE {ROLE} LOGIN{more} PASSWORD '{password}';"
