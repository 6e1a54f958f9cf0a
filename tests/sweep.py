"""Looks for texts in places where nobody would look for them."""


def columns_with(postgres, database, texts):
    """Return {text: ["table.column", ...]} of every place in a database that holds a text."""
    found = {text: [] for text in texts}
    with postgres.cursor(database) as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(
                "SELECT DISTINCT given.text, each.key"  # noqa: S608 - a table's own name
                f' FROM "{table}" AS row_of_table, jsonb_each_text(to_jsonb(row_of_table)) AS each,'
                " unnest(%s) AS given(text) WHERE strpos(each.value, given.text) > 0"
                " ORDER BY 1, 2",
                [list(texts)],
            )
            for text, column in cursor.fetchall():
                found[text].append(f"{table}.{column}")
    return found
