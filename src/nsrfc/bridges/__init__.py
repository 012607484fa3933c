"""Other programs: faces and names that they hold, in; what a person confirmed, out.

One module reads one program, by a function ``read`` that yields a record (`record.py`) for each face;
`programs.py` lists them, and `arrival.py` puts the records into a library. On the way out,
`confirmed.py` says what may leave, and one module writes it for each kind of receiver.
"""
