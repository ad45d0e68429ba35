"""The migration of a made-up later version. It adds a column and an index, and fills in the column."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models
from django.db.models.functions import Length

from tests.proof.later import newest


def fill_in(apps: Any, schema_editor: Any) -> None:
    """Write the new column in each family's row."""
    families = apps.get_model("twotoken", "RefreshToken")._default_manager.using(schema_editor.connection.alias)
    families.update(note_length=Length("user_agent"))


class Migration(migrations.Migration):
    # Not in one transaction with the others: otherwise the table would be locked until the last row is written.
    atomic = False
    dependencies = [("twotoken", newest())]
    operations = [
        # The old version inserts rows until it is replaced, so the database has to know the default.
        migrations.AddField("RefreshToken", "note_length", models.IntegerField(db_default=0)),
        migrations.RunPython(fill_in, migrations.RunPython.noop),
        migrations.AddIndex("RefreshToken", models.Index(fields=["note_length"], name="made_up_index")),
    ]
