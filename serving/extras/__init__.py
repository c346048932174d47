"""What ``--extras_prefix`` adds to the contract: health, descriptions, a checking predict, OIP v2, a page.

::

    from serving.extras.http import ExtrasRequest
    from serving.extras.routes import Extras

    extras = Extras(app, "/keras_seq")                               # app: see serving.extras.http.ExtrasHost
    extras.answer(ExtrasRequest("GET", "/keras_seq/models"))         # blocks: call it in a thread
"""
