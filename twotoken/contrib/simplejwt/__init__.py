"""Moving from djangorestframework-simplejwt without logging anyone out."""
