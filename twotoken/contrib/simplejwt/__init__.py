"""Moving from djangorestframework-simplejwt without logging anyone out.

An "old" token is one that simplejwt issued.
"""
