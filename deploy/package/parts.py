"""What Katana's programs are made of, read off the programs themselves: every library that they load, every library that is
compiled into them, with version and licence. Written as SPDX 2.3 (spdx.github.io/spdx-spec/v2.3), with the notices that the
compiled-in ones ask for.

A library whose licence isn't in the table ends the build: nothing is linked whose terms nobody has read.
"""

import datetime
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess

# Debian package -> SPDX expression, read from /usr/share/doc/PACKAGE/copyright.
LICENCES = {
    "libbrotli1": "MIT", "libbsd0": "BSD-3-Clause", "libc6": "LGPL-2.1-or-later", "libcom-err2": "MIT", "libcurl4": "curl",
    "libffi8": "MIT", "libfmt9": "MIT", "libgcc-s1": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgmp10": "LGPL-3.0-or-later OR GPL-2.0-or-later", "libgnutls30": "LGPL-2.1-or-later", "libgssapi-krb5-2": "MIT",
    "libhogweed6": "LGPL-3.0-or-later OR GPL-2.0-or-later", "libidn2-0": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libk5crypto3": "MIT", "libkeyutils1": "LGPL-2.1-or-later", "libkrb5-3": "MIT", "libkrb5support0": "MIT",
    "libldap-2.5-0": "OLDAP-2.8", "libmd0": "BSD-3-Clause", "libmd4c0": "MIT", "libmicrohttpd12": "LGPL-2.1-or-later",
    "libnettle8": "LGPL-3.0-or-later OR GPL-2.0-or-later", "libnghttp2-14": "MIT", "libnorm1": "LicenseRef-NRL-2-clause",
    "libp11-kit0": "BSD-3-Clause", "libpgm-5.3-0": "LGPL-2.1-only", "libprometheus-cpp-core1.0": "MIT",
    "libprotobuf32": "BSD-3-Clause", "libpsl5": "MIT", "librtmp1": "LGPL-2.1-or-later", "libsasl2-2": "BSD-4-Clause",
    "libsimdjson14": "Apache-2.0", "libsodium23": "ISC", "libspdlog1.10": "MIT", "libsqlite3-0": "blessing",
    "libssh2-1": "BSD-3-Clause", "libssl3": "Apache-2.0", "libstdc++6": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libtasn1-6": "LGPL-2.1-or-later", "libtomlplusplus3": "MIT", "libunistring2": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libuv1": "MIT", "libzmq5": "LGPL-3.0-or-later", "libzstd1": "BSD-3-Clause OR GPL-2.0-only", "zlib1g": "Zlib",
}
# Libraries of headers alone: no program tells that they are in it.
COMPILED_IN = {"cppzmq-dev": "MIT", "libcli11-dev": "BSD-3-Clause", "libexpected-dev": "CC0-1.0", "nlohmann-json3-dev": "MIT"}
REFERENCES = [{"licenseId": "LicenseRef-NRL-2-clause", "name": "Naval Research Laboratory, two clauses",
               "extractedText": "See /usr/share/doc/libnorm1/copyright on a Debian system."}]
OWN_LICENCE = "Apache-2.0"


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def libraries(program):
    """Paths of the libraries that it loads, as the loader finds them."""
    return set(re.findall(r"=> (/\S+) \(", run("ldd", str(program))))


def needed(program):
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", str(program))))


@functools.cache
def package_of(library):
    """dpkg knows a file by the path under which it was packed: with or without /usr."""
    real = str(pathlib.Path(library).resolve())
    for path in (real, real.removeprefix("/usr"), "/usr" + real):
        found = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.split(":")[0]
    raise SystemExit(f"{library}: of no Debian package; Katana is packed with Debian's libraries alone")


def version_of(package):
    return run("dpkg-query", "-W", "-f", "${Version}\n", package).splitlines()[0]


def licence_of(package):
    if package not in LICENCES:
        raise SystemExit(f"{package}: its licence isn't known; read /usr/share/doc/{package}/copyright and add it to {__file__}")
    return LICENCES[package]


def entry(name, version, licence, purl):
    return {"SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name), "name": name, "versionInfo": version,
            "supplier": "Organization: Debian" if purl else "NOASSERTION", "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
            "licenseConcluded": licence, "licenseDeclared": licence, "copyrightText": "NOASSERTION",
            **({"externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                                  "referenceLocator": f"pkg:deb/debian/{name.replace('+', '%2B')}@{version}"}]} if purl else {})}


def parts_of(programs):
    """The document's parts, and how each of them is in the programs."""
    loaded = {}
    for program in programs:
        direct = needed(program)
        for library in libraries(program):
            package = package_of(library)
            loaded[package] = loaded.get(package, False) or pathlib.Path(library).name in direct
    packages = [(name, licence_of(name), "DYNAMIC_LINK" if direct else "DEPENDS_ON") for name, direct in sorted(loaded.items())]
    packages += [(name, licence, "CONTAINS") for name, licence in sorted(COMPILED_IN.items())]
    return packages


def document(version, packages):
    """The same parts give the same document, whenever and wherever it is made."""
    entries = [entry("katana", version, OWN_LICENCE, purl=False)]
    relations = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-katana"}]
    for name, licence, how in packages:
        entries.append(entry(name, version_of(name), licence, purl=True))
        relations.append({"spdxElementId": "SPDXRef-katana", "relationshipType": how, "relatedSpdxElement": entries[-1]["SPDXID"]})
    digest = hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()[:32]
    created = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"katana-{version}",
            "documentNamespace": f"https://katana.invalid/spdx/katana-{version}-{digest}",
            "creationInfo": {"created": created.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: deploy/package/parts.py"]},
            "packages": entries, "relationships": relations, "hasExtractedLicensingInfos": REFERENCES}


def notices():
    out = ["Katana is licensed under the Apache License, version 2.0: /usr/share/common-licenses/Apache-2.0",
           "What it is made of, with versions and licences: katana.spdx.json, beside this file. The notices of what is compiled",
           "into its programs:"]
    for package in sorted(COMPILED_IN):
        text = pathlib.Path(f"/usr/share/doc/{package}/copyright").read_text(errors="replace")
        out += ["", "=" * 20 + f" {package}", "", text.rstrip()]
    return "\n".join(out) + "\n"


def write(programs, version, directory):
    listed = document(version, parts_of(programs))
    (directory / "katana.spdx.json").write_text(json.dumps(listed, indent=1, sort_keys=True) + "\n")
    (directory / "copyright").write_text(notices())
