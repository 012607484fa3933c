"""Cluster face embeddings by identity.

>>> import nsrfc
>>> labels = nsrfc.FaceClusterer().fit_predict(X)  # doctest: +SKIP
"""

__version__ = "0.1.0"
