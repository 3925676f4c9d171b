"""How places in limits are taken at a server: compared and written in one statement.

The function is called with what a host has read of the limits it changes, and what it makes of it. It waits
for whoever is changing limits of the same stripes - names are dealt out into `STRIPES`, taken in their order,
so no two wait for each other -, looks whether what was read is still so, and writes all of it or nothing. Its
locks are gone with the statement.
"""

from __future__ import annotations

import sqlalchemy as sa

from pipeline.store.dialect import is_shared

STRIPES = 64
_FUNCTION = """
CREATE FUNCTION swap_limits(seen_paces text, seen_spent text, since bigint, moved text, added text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext(current_schema()), stripe) FROM (
        SELECT DISTINCT abs(hashtext(row ->> 0) % STRIPES) AS stripe
        FROM (
            SELECT json_array_elements(seen_paces::json) AS row
            UNION ALL SELECT json_array_elements(seen_spent::json)
        ) AS named ORDER BY 1
    ) AS stripes;
    IF EXISTS (
        SELECT FROM json_array_elements(seen_paces::json) AS seen(row)
        LEFT JOIN paces ON paces.name = row ->> 0
        WHERE coalesce(paces.free_at, 0) <> (row ->> 1)::bigint
    ) OR EXISTS (
        SELECT FROM json_array_elements(seen_spent::json) AS seen(row)
        LEFT JOIN LATERAL (
            SELECT jsonb_agg(jsonb_build_array(start, count) ORDER BY start) AS buckets
            FROM spent WHERE spent.name = row ->> 0 AND start > since
        ) AS now ON true
        WHERE coalesce(now.buckets, '[]'::jsonb) <> (row -> 1)::jsonb
    ) THEN
        RETURN false;
    END IF;
    INSERT INTO paces (name, free_at)
        SELECT row ->> 0, (row ->> 1)::bigint FROM json_array_elements(moved::json) AS new(row)
        ON CONFLICT (name) DO UPDATE SET free_at = excluded.free_at;
    INSERT INTO spent (name, start, count)
        SELECT row ->> 0, (row ->> 1)::bigint, (row ->> 2)::integer
        FROM json_array_elements(added::json) AS new(row)
        ON CONFLICT (name, start) DO UPDATE SET count = spent.count + excluded.count;
    RETURN true;
END $$
"""


def keep(_target: sa.Table, connection: sa.Connection, **_arguments: object) -> None:
    """Let a new database of a server have the function; called when the last of its tables is made."""
    if is_shared(connection):
        connection.exec_driver_sql(_FUNCTION.replace("STRIPES", str(STRIPES)).replace("%", "%%"))
