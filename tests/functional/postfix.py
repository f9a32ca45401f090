"""A Postfix of our own: its real programs with their configuration, queue and mailboxes in one directory, on a free port.

It requires STARTTLS and a password, as a provider's submission port does. Postfix's master must be root to start.
"""

import os
import pathlib
import pwd
import grp
import shutil
import socket
import subprocess
import tempfile

from harness import LIMIT, eventually, free_port
from watching import parse_mail

DOMAIN = "mail.test"
USER = "katana"
PASSWORD = "a password, with ünusual ch@racters"

MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file_prefixes = {dir}
maillog_file = {dir}/maillog
myhostname = {domain}
mydestination =
inet_protocols = ipv4
inet_interfaces = 127.0.0.1
mynetworks =
alias_maps =
alias_database =
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {dir}/mailboxes
virtual_mailbox_maps = static:operator/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {dir}/cert.pem
smtpd_tls_key_file = {dir}/key.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = {domain}
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
"""

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup   unix  n - n 60    1 pickup
cleanup  unix  n - n -     0 cleanup
qmgr     unix  n - n 300   1 qmgr
tlsmgr   unix  - - n 1000? 1 tlsmgr
rewrite  unix  - - n -     - trivial-rewrite
bounce   unix  - - n -     0 bounce
defer    unix  - - n -     0 bounce
trace    unix  - - n -     0 bounce
verify   unix  - - n -     1 verify
proxymap unix  - - n -     - proxymap
error    unix  - - n -     - error
retry    unix  - - n -     - error
virtual  unix  - n n -     - virtual
anvil    unix  - - n -     1 anvil
postlog  unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """Runs from construction to `close`."""

    def __init__(self):
        if os.geteuid() != 0:
            raise AssertionError("Postfix can only be started by root: run this test as root, as CI does")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="katana-postfix-"))
        self.dir.chmod(0o755)  # its programs run as the user postfix
        self.port = free_port()
        self.url = f"smtp://localhost:{self.port}"
        self.ca_file = self.dir / "cert.pem"
        self.password_file = self.dir / "password"
        self.password_file.touch(0o600)
        self.password_file.write_text(PASSWORD + "\n")
        self._make()
        with open(self.dir / "stderr", "wb") as stderr:
            self.master = subprocess.Popen(
                ["/usr/lib/postfix/sbin/master", "-c", self.dir / "etc", "-d"], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True)
        # Ends it when the pipe from us closes, so also when this test is killed. (A signal at our death wouldn't do:
        # the kernel forgets it as soon as Postfix changes its user.)
        self.guard = subprocess.Popen(["sh", "-c", "cat > /dev/null; kill $0", str(self.master.pid)], stdin=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            eventually("Postfix greets", self._greets)
        except AssertionError as error:
            self.close()
            raise AssertionError(f"{error}\n{self.log()}") from None

    def _make(self):
        owner, group = pwd.getpwnam("postfix"), grp.getgrnam("postdrop").gr_gid
        nobody = pwd.getpwnam("nobody")
        etc, queue, sasl = self.dir / "etc", self.dir / "queue", self.dir / "etc" / "sasl"  # Debian's place for it
        for place in (etc, queue, sasl, self.dir / "data", self.dir / "mailboxes"):
            place.mkdir()
        os.chown(self.dir / "data", owner.pw_uid, -1)
        os.chown(self.dir / "mailboxes", nobody.pw_uid, nobody.pw_gid)
        for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved",
                     "trace", "maildrop", "public", "pid"):
            (queue / name).mkdir(mode=0o700)
            os.chown(queue / name, owner.pw_uid if name != "pid" else 0, -1)
        for name, mode in (("maildrop", 0o730), ("public", 0o710)):
            os.chown(queue / name, owner.pw_uid, group)
            (queue / name).chmod(mode)
        (queue / "pid").chmod(0o755)
        (etc / "main.cf").write_text(MAIN.format(dir=self.dir, domain=DOMAIN, uid=nobody.pw_uid, gid=nobody.pw_gid))
        (etc / "master.cf").write_text(MASTER.format(port=self.port))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", self.dir / "key.pem", "-out", self.ca_file], check=True, capture_output=True)
        database = self.dir / "sasldb2"
        (sasl / "smtpd.conf").write_text(
            f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {database}\nmech_list: PLAIN LOGIN\n")
        subprocess.run(["saslpasswd2", "-c", "-p", "-f", database, "-u", DOMAIN, USER], input=PASSWORD.encode(), check=True,
                       capture_output=True)
        os.chown(database, owner.pw_uid, -1)

    def _greets(self):
        if self.master.poll() is not None:
            raise AssertionError("Postfix ended by itself")
        with socket.create_connection(("127.0.0.1", self.port), LIMIT) as talk:
            return talk.recv(500).startswith(b"220")

    def log(self):
        return "".join((self.dir / name).read_text(errors="replace") for name in ("stderr", "maillog")
                       if (self.dir / name).exists())

    def mails(self):
        """What lies in the operator's mailbox, as a mail client would read it, in the order of delivery."""
        new = self.dir / "mailboxes" / "operator" / "new"
        files = sorted(new.iterdir(), key=lambda f: f.stat().st_mtime_ns) if new.exists() else []
        return [parse_mail(f.read_bytes()) for f in files]

    def settings(self):
        """How Katana is pointed at it."""
        return {"SMTP_URL": self.url, "SMTP_USER": f"{USER}@{DOMAIN}", "SMTP_PASSWORD_FILE": self.password_file,
                "SMTP_CA_FILE": self.ca_file, "ALERT_EMAIL_FROM": f"katana@{DOMAIN}",
                "ALERT_EMAIL_TO": f"operator@{DOMAIN}"}

    def close(self):
        self.guard.stdin.close()
        try:
            self.master.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.master.kill()
            self.master.wait()
        self.guard.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
