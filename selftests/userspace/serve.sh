#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# `pymalloc serve`: it serves what `pymalloc export` prints, whatever clients do, and ends when
# it is told to.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc
cd "$scratch" || exit 1

# The smallest Debian has no /etc/hosts.
[ -e /etc/hosts ] || echo 127.0.0.1 localhost >/etc/hosts

# A heap that stays as it is.
exec 3< <(exec "$pymalloc" run -- python3 -c '
import signal
kept = [str(i) * 3 for i in range(20000)]
print("ready", flush=True)
signal.pause()')
subject=$!
read -r _ <&3
heap=$("$pymalloc" ls -nro HEAP,PID | awk -v pid="$subject" '$2 == pid { print $1 }')
"$pymalloc" policy "$heap" --no-decay --no-steal --no-mesh >policy.txt

# start CMD...: start a server by CMD, and set $server and $address. Its messages go to the
# file "messages".
start()
{
	exec 4< <(exec "$@" 2>messages)
	server=$!
	read -r line <&4 || { cat messages; return 1; }
	address=${line#http://} address=${address%/metrics}
	[ "$line" = "http://$address/metrics" ]
}

# serve OPTION...: start a server at a free port. Time does not end anything but a test's own
# clients.
serve()
{
	start "$pymalloc" serve --listen 127.0.0.1:0 --timeout 1000 "$@"
}

# stop: end it, and return its exit status.
stop()
{
	kill "$server" && wait "$server"
}

# python CODE [ARG...]: CODE, with a server to talk to.
python()
{
	python3 -c "
import http.client, os, socket, subprocess, sys, threading
host, port = '$address'.rsplit(':', 1)
host, port, server = host.strip('[]'), int(port), $server
def ask(path='/metrics', method='GET', **headers):
	connection = http.client.HTTPConnection(host, port)
	connection.request(method, path, headers=headers)
	answer = connection.getresponse()
	answer.text = answer.read().decode()
	print(method, path, headers, answer.status, answer.getheaders(), answer.text)
	assert answer.getheader('Connection') == 'close'
	return answer
def connect(data):
	client = socket.create_connection((host, port))
	client.sendall(data)
	return client
def rest(client):
	text = b''
	while True:
		try:
			data = client.recv(4096)
		except ConnectionResetError:
			data = b''
		if not data:
			return text
		text += data
def sockets():
	count = 0
	for name in os.listdir(f'/proc/{server}/fd'):
		try:
			count += os.readlink(f'/proc/{server}/fd/{name}').startswith('socket:')
		except FileNotFoundError:
			pass
	return count
$1" "${@:2}"
}

OPENMETRICS="application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN="text/plain; version=0.0.4; charset=utf-8"

# served ACCEPT FORMAT TYPE [OPTION...]: a client that accepts this gets that.
served()
{
	python '
answer = ask(Accept=sys.argv[1])
assert answer.status == 200 and answer.getheader("Content-Type") == sys.argv[2]
open("served", "w").write(answer.text)' "$1" "$3" &&
		"$pymalloc" export --format "$2" "${@:4}" | diff - served
}

# answers STATUS TEXT PATH [METHOD]
answers()
{
	python '
status, text, path, method = int(sys.argv[1]), *sys.argv[2:]
answer = ask(path, method)
assert answer.status == status and text in answer.text
assert status != 405 or answer.getheader("Allow") == "GET, HEAD"' "$1" "$2" "$3" "${4:-GET}"
}

as_nobody()
{
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

# says STATUS MESSAGE OPTION...: the server does not start, and says why.
says()
{
	status "$1" "$pymalloc" serve "${@:3}" >output 2>stderr || { cat stderr; return 1; }
	cat stderr
	grep -q -- "$2" stderr && [ "$(grep -vc '^Try ' stderr)" = 1 ] && [ ! -s output ]
}

# What the sample for systemd gives to the server; and no more.
as_the_sample()
{
	local caps
	caps=$(sed -n 's/^AmbientCapabilities=//p' "$here/../../../userspace/samples/pymalloc-serve.service" |
		sed 's/CAP_\([A-Z_]*\)/+\L\1/g; s/ /,/g')
	[ -n "$caps" ] && start setpriv --reuid 65534 --regid 65534 --clear-groups \
		--inh-caps "-all,$caps" --ambient-caps "-all,$caps" --bounding-set "-all,$caps" \
		--no-new-privs "$pymalloc" serve --listen 127.0.0.1:0 --timeout 1000
}

sees_only()
{
	python '
import re
found = set(re.findall(r"pymalloc_heap_blocks{heap=\"([0-9]+)\"", ask().text))
assert found == set(sys.argv[1:]), found' "$@"
}

# Until one comes through; the answer before may be a second old.
recovers()
{
	python '
while ask().status != 200:
	pass'
}

no_service()
{
	serve_as_nobody && chmod 600 /dev/pymalloc && answers 503 "messages say why" /metrics &&
		answers 503 "no service" /healthz && grep -q 'Permission denied' messages
	local failed=$?

	chmod 666 /dev/pymalloc
	[ $failed = 0 ] && recovers && answers 200 ok /healthz && stop
}

serve_as_nobody()
{
	start setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$pymalloc" serve --listen 127.0.0.1:0 --timeout 1000
}

# Heaps come and go meanwhile.
busy()
{
	for _ in {1..6}; do "$pymalloc" run -- true; done &
	python '
texts = []
def client():
	for i in range(5):
		answer = ask()
		assert answer.status == 200
		texts.append(answer.text)
threads = [threading.Thread(target=client) for i in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(texts) == 100 and all(f"heap=\"{sys.argv[1]}\"" in text for text in texts)' "$heap"
	local failed=$?

	wait $!
	return $failed
}

# A second is not much for a client; and each byte comes in time.
slow_client_ends()
{
	python '
client = connect(b"GET /metrics HTTP/1.1\r\nX: ")
client.settimeout(0.05)
while True:
	try:
		client.sendall(b"x")
		if not client.recv(1):
			break
	except TimeoutError:
		pass
	except (ConnectionResetError, BrokenPipeError):
		break'
}

takes_turns()
{
	serve --max-clients 2 && python '
idle = [connect(b"GET /"), connect(b"GET /")]
while sockets() != 3:
	pass
waiting = [connect(b"GET /healthz HTTP/1.0\r\n\r\n") for i in range(5)]
assert sockets() == 3
idle[0].close()
for client in waiting:
	assert b"200 OK" in rest(client)
assert sockets() <= 3' && stop
}

# Whoever has not asked yet does not keep it.
ends_with_clients()
{
	serve && python '
idle = connect(b"GET /")
while sockets() != 2:
	pass
os.kill(server, 15)
assert rest(idle) == b""' && wait "$server"
}

in_use()
{
	serve && says 1 "cannot listen on $address: Address already in use" --listen "$address" && stop
}

ok "it starts, and says where" serve
ok "a client that wants nothing special" served "*/*" text "$PLAIN"
ok "a client of OpenMetrics" served application/openmetrics-text openmetrics "$OPENMETRICS"
ok "Prometheus" served "application/openmetrics-text;version=1.0.0,\
application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1" \
	openmetrics "$OPENMETRICS"
ok "names of types in capitals" served "Application/OpenMetrics-Text ; q=0.5" openmetrics \
	"$OPENMETRICS"
for accept in "text/plain, application/openmetrics-text; q=0.9" "application/openmetrics-text;q=0" \
	"application/openmetrics-textual" "text/html" "" ",;,;q=1,q" \
	"application/openmetrics-text;q=x"; do
	ok "Accept: $accept" served "$accept" text "$PLAIN"
done
ok "without Accept" python 'assert ask().getheader("Content-Type") == sys.argv[1]' "$PLAIN"
ok "HEAD" python '
get, head = ask(), ask(method="HEAD")
assert head.status == 200 and head.text == "" and len(get.text) > 1000
assert head.getheader("Content-Length") == get.getheader("Content-Length")
assert head.getheader("Content-Type") == get.getheader("Content-Type")'
ok "a query" answers 200 pymalloc_heap_page_bytes "/metrics?name=x"
ok "the first page" answers 200 'href="/metrics"' /
ok "health" answers 200 ok /healthz
for path in /metrics/ /metric //metrics /../metrics /%2e%2e/etc/passwd; do
	ok "no page $path" answers 404 "only /metrics" "$path"
done
for method in POST PUT DELETE OPTIONS PATCH TRACE NONE; do
	ok "$method" answers 405 "GET and HEAD" /metrics "$method"
done
ok "an upload without an end" python '
client = connect(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
assert b"405 Method Not Allowed" in rest(client)'
ok "a line without an end" python '
client = connect(b"")
try:
	while True:
		client.sendall(b"GET /" + b"x" * 4096)
except (BrokenPipeError, ConnectionResetError):
	pass'
ok "headers without an end" python '
client = connect(b"GET /metrics HTTP/1.1\r\n")
try:
	while True:
		client.sendall(b"X-Header: y\r\n" * 100)
except (BrokenPipeError, ConnectionResetError):
	pass'
ok "clients that say nothing stop nobody" python '
idle = [connect(b""), connect(b"GET /metrics HTTP/1.1\r\n")]
while sockets() != 3:
	pass
assert ask().status == 200'
ok "many clients at once" busy
ok "figures are not old" python '
heap = subprocess.Popen([sys.argv[1], "run", "--", "sh", "-c", "echo; read x"],
	stdin=subprocess.PIPE, stdout=subprocess.PIPE)
heap.stdout.readline()
while f"pid=\"{heap.pid}\"" not in ask().text:
	pass
heap.communicate()
while f"pid=\"{heap.pid}\"" in ask().text:
	pass' "$pymalloc"
ok "no message came" test ! -s messages
ok "SIGTERM" stop
ok "SIGINT" bash -c "env --default-signal=INT '$pymalloc' serve --listen 127.0.0.1:0 >where &
	until [ -s where ]; do sleep 0.05; done; kill -INT \$!; wait \$!"

ok "clients have a second" start "$pymalloc" serve --listen 127.0.0.1:0 --timeout 1
for request in '\x00\xff\r\n\r\n' 'GET\r\n\r\n' 'GET /metrics\r\n\r\n' '\r\n\r\n\r\n' \
	'GET /metrics HTTP/9.9\r\n\r\n' 'GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n'; do
	ok "a bad request ends: $request" python '
text = rest(connect(sys.argv[1].encode().decode("unicode_escape").encode("latin-1")))
assert not text or not text.startswith(b"HTTP/1.1 2"), text' "$request"
done
ok "a client that is too slow" slow_client_ends
ok "the server is as it was" answers 200 ok /healthz
stop
ok "--classes --check" serve --classes --check
ok "it serves these, too" served "*/*" text "$PLAIN" --classes --check
stop
ok "IPv6" start "$pymalloc" serve --listen "[::1]:0"
ok "it says where" test "${address%:*}" = "[::1]"
ok "it serves there" answers 200 ok /healthz
stop
ok "a name" start "$pymalloc" serve --listen localhost:0
ok "it serves there" answers 200 ok /healthz
stop
ok "the usual address is not for others" start "$pymalloc" serve
ok "it is that of the loopback device" test "${address%:*}" = 127.0.0.1
stop

ok "another user's server" serve_as_nobody
ok "it does not see the heap" sees_only
stop
ok "with the privileges of the sample for systemd" as_the_sample
ok "it sees all heaps" sees_only "$heap"
stop
ok "without the service, until it is back" no_service
ok "more clients than it takes" takes_turns
ok "it ends although there are clients" ends_with_clients

ok "an address that is in use" in_use
ok "an address of another machine" says 1 'cannot listen on 192.0.2.1:0: ' -l 192.0.2.1:0
ok "a name that does not exist" says 1 'cannot listen on no.invalid:0: ' -l no.invalid:0
for line in "-l x" "-l :80" "-l 127.0.0.1:" "-l 127.0.0.1:65536" "-l 127.0.0.1:x" "-l ::1:80" \
	"-l [::1:80" "-l []:80" "-m 0" "-m 513" "-m x" "-t 0" "-t x" "-t 86401" "1"; do
	# shellcheck disable=SC2086
	ok "serve $line" says 2 '^pymalloc serve: ' $line
done
ok "into a full disk" status 1 bash -c "'$pymalloc' serve --listen 127.0.0.1:0 >/dev/full"

kill "$subject"
finish
