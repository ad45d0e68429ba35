"""Moves a project from djangorestframework-simplejwt to twotoken without logging anyone out.

In this package an "old" token is a token that simplejwt issued.
"""
