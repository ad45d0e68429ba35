"""User models other than Django's, to test with."""
