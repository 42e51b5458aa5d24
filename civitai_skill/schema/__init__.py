"""What may be asked: the request, AIRs, field types, and findings in the user's words.

No engine, no file and no Buzz is known here.
"""
