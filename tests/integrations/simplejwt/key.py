"""What both projects know: the key that simplejwt has signed with, and the password of everybody."""

SECRET_KEY = "a key of the old project that is for the tests only"
PASSWORD = "a password of some length"
