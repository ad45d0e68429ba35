"""Factories for the user model that AUTH_USER_MODEL names."""

from __future__ import annotations

from typing import Any

import factory.django
from django.contrib.auth import get_user_model

PASSWORD = "a password of some length"


class UserFactory(factory.django.DjangoModelFactory[Any]):
    """Makes users of AUTH_USER_MODEL with the password PASSWORD."""

    class Meta:
        model = get_user_model()
        skip_postgeneration_save = True

    email = factory.declarations.Sequence("person{}@example.com".format)
    password = factory.django.Password(PASSWORD)

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **kwargs: Any) -> Any:
        name = model_class.USERNAME_FIELD
        kwargs.setdefault(name, kwargs["email"].partition("@")[0])
        return super()._create(model_class, *args, **kwargs)
