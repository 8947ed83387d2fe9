"""What a user is interested in, in a short paragraph: by a template, or in a language model's wording.

    facts ──► phrases, each with a mark ──► template ──────────────────────────────► text
                     │                        ▲ where the model gives nothing fit     ▲
                     └──► prompt ──► model ──► judged ──► marks become phrases ───────┘

A model writes sentences around marks; what the marks stand for is put in afterwards. So it cannot change a number, a
title or a topic, and what it says of its own has neither digits nor names.
"""
