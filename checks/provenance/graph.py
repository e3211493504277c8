"""The entities of a crate, and its files, as the library `rocrate` keeps them."""

from __future__ import annotations

import hashlib
import io
import json

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

VERSION = "1.1"  # of RO-Crate: the one that the run profiles 0.5 extend
RUN_CONTEXT = "https://w3id.org/ro/terms/workflow-run/context"


def ref(identity):
    """A reference to an entity."""
    return {"@id": identity}


def refs(identities):
    """References to entities, each once, in order."""
    return [ref(identity) for identity in dict.fromkeys(identities)]


class Graph:
    """A crate in the making: entities by id, each added once."""

    def __init__(self):
        self.crate = ROCrate(version=VERSION)
        self.crate.metadata.extra_contexts.append(RUN_CONTEXT)
        self._names, self.parts = {}, []

    @property
    def root(self):
        return self.crate.root_dataset

    def add(self, identity, kind, **properties):
        """Add an entity unless its id is taken; returns the id. Properties that are None are left out."""
        if self.crate.dereference(identity) is None:
            known = {key: value for key, value in properties.items() if value is not None}
            self.crate.add(ContextEntity(self.crate, identity, properties={"@type": kind, **known}))
        return identity

    def add_outside(self, identity, kind, **properties):
        """Add a file or folder that the crate refers to and does not hold."""
        if self.crate.dereference(identity) is None:
            self.parts.append(identity)
        return self.add(identity, kind, **properties)

    def add_file(self, path, data, kind="File", **properties):
        """Add the file `path` of the crate with these bytes and their SHA-256; returns its id."""
        if self.crate.dereference(path) is None:
            known = {key: value for key, value in properties.items() if value is not None}
            digest = hashlib.sha256(data).hexdigest()
            known = {"@type": kind, "contentSize": str(len(data)), "sha256": digest, **known}
            self.crate.add_file(io.BytesIO(data), dest_path=path, properties=known)
            self.parts.append(path)
        return path

    def extend(self, identity, key, identities):
        """Add references to a property of an entity that is there."""
        entity = self.crate.dereference(identity)
        found = entity.properties().get(key, [])
        found = found if isinstance(found, list) else [found]
        entity.properties()[key] = refs([*(one["@id"] for one in found), *identities])

    def distinct(self, identity, content):
        """`identity` for the first content that asks for it, and another for each content that differs."""
        text = json.dumps(content, sort_keys=True, default=str)
        known = self._names.setdefault(identity, [])
        if text not in known:
            known.append(text)
        place = known.index(text)
        return identity if place == 0 else f"{identity}~{place + 1}"

    def write(self, folder):
        """Write metadata and files into an empty folder."""
        self.root["hasPart"] = refs(sorted(self.parts))
        for entity in self.crate.get_entities():
            _compact(entity.properties())
        self.crate.write(folder)


def _compact(properties):
    """Take a value that is alone out of its list, as RO-Crate asks for, and an empty list away."""
    for key, value in list(properties.items()):
        if isinstance(value, list) and len(value) == 1:
            properties[key] = value[0]
        elif value == []:
            del properties[key]
