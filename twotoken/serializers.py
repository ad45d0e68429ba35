"""Serializers for logins, refresh tokens and sessions. They check only the format of the input."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from django.utils import timezone
from rest_framework import serializers

from twotoken.models import RefreshToken

# A login accepts names up to at least this length, that of the longest e-mail address: an authentication back end may
# look users up by e-mail address, even if the column of the user names is shorter.
MIN_NAME_LENGTH = 254
MAX_PASSWORD_LENGTH = 4096
STEP = 10  # minutes


class PasswordSerializer(serializers.Serializer[Any]):
    """The password with which the user of an access token proves their identity again."""

    password = serializers.CharField(
        max_length=MAX_PASSWORD_LENGTH, trim_whitespace=False, write_only=True, style={"input_type": "password"}
    )


class LoginSerializer(PasswordSerializer):
    """The user model's USERNAME_FIELD and a password, which are the keyword arguments of Django's ``authenticate``."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        user_model: Any = get_user_model()
        name = user_model._meta.get_field(user_model.USERNAME_FIELD)
        longest = max(getattr(name, "max_length", None) or 0, MIN_NAME_LENGTH)
        return {user_model.USERNAME_FIELD: serializers.CharField(max_length=longest), **super().get_fields()}


class TokenField(serializers.Field[str, str, str, Any]):
    """A field that accepts any string, unchanged. Whether the string is a valid token is checked by the view."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "invalid": serializers.CharField.default_error_messages["invalid"]
    }

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class RefreshSerializer(serializers.Serializer[Any]):
    """A request body with a refresh token."""

    refresh = TokenField(write_only=True)


class SessionSerializer(serializers.ModelSerializer[RefreshToken]):
    """A token family as the family's own user sees it. The output contains no token."""

    last_used_at = serializers.SerializerMethodField()
    bound = serializers.SerializerMethodField()
    current = serializers.SerializerMethodField()

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]  # as DRF wants it
        model = RefreshToken
        fields = ("id", "created_at", "last_used_at", "expires_at", "ip_address", "user_agent", "bound", "current")
        read_only_fields = fields

    def get_current(self, family: RefreshToken) -> bool:
        """Tell whether the request's access token belongs to this family."""
        return bool(family.pk == self.context["current"])

    def get_bound(self, family: RefreshToken) -> bool:
        """Tell whether the family is bound to its device, so that a copied token does not work elsewhere."""
        return bool(family.device_key)

    def get_last_used_at(self, family: RefreshToken) -> str:
        """Return when the family was last refreshed, rounded down to ten minutes. For the current family, return now.

        Without the rounding, a thief with copied tokens of two families could use one to see exactly when the user
        refreshes the other family. If the thief then sends that family's copied token at once, it seems to be a retry.
        """
        moment = timezone.now()
        if not self.get_current(family):
            moment = family.refreshed_at
            moment = moment.replace(minute=moment.minute - moment.minute % STEP, second=0, microsecond=0)
        return str(serializers.DateTimeField().to_representation(moment))
