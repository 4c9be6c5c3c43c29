#!/bin/sh
# Makes the certificates that the tests of the wire trust: an authority, and a server of its own
# that is `localhost`. The server's key is for tests, and known to everybody.
set -eu
cd "$(dirname "$0")"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj "/CN=tests" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" \
    -keyout ca.key -outform DER -out ca.der
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
    -keyout leaf.pem -out leaf.csr
printf 'subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n' >leaf.ext
openssl x509 -req -in leaf.csr -CA ca.der -CAform DER -CAkey ca.key -CAcreateserial -days 36500 \
    -extfile leaf.ext -outform DER -out leaf.der
openssl pkcs8 -topk8 -nocrypt -in leaf.pem -outform DER -out leaf.key
rm -f ca.key ca.srl leaf.pem leaf.csr leaf.ext
