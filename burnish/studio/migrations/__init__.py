"""The versions of the schema, for Alembic; `burnish.studio.migrate` runs them. A released one is never edited."""
