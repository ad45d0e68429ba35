"""The user admin, with the button that revokes a user's token families."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from twotoken.admin import TokenFamiliesMixin

admin.site.unregister(User)


@admin.register(User)
class ExampleUserAdmin(TokenFamiliesMixin, UserAdmin):  # type: ignore[type-arg]
    """Django's user admin with the mixin of twotoken."""
