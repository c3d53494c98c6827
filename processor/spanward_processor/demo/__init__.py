"""`spanward demo`: a real service, real traffic and three incidents, seen the way a user would see them.

The demo plays the user. It imports the SDK as any service would and knows the processor only by its command line and its
page, never by its internals.
"""
