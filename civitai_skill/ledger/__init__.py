"""What was about to be paid for and what became of it; budgets and reports.

Never sends a request and never touches a picture's bytes.
"""
