"""Describes the endpoints, authentication classes and tokens of twotoken in OpenAPI, for drf-spectacular."""
