"""What MCP and REST stand on: session, access policy, HTTP listener.

No protocol of either is spoken here.
"""
