"""Where tasks run: in this process, in others here, on Ray, or as one part of a job array.

A task is a pure function of (stage, block of faces, configuration) that makes one file. A file counts
when the manifest of its stage names it with its hash, so that resuming means running what is missing.
Small steps on all faces, such as fitting score models and joining edges, stay in the process that gives
the tasks out.
"""
