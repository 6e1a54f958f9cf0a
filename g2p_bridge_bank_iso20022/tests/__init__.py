from . import test_inbox, test_pain001, test_paying, test_transport
