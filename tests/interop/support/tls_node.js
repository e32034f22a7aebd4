// A TLS server or client by Node's module: node tls_node.js server|client OPTIONS-IN-JSON. Its lines are like tls_peer's.
"use strict";
const fs = require("fs");
const readline = require("readline");
const tls = require("tls");

const [, , side, json] = process.argv;
const o = JSON.parse(json);
const pem = (name) => name && fs.readFileSync(name);
const say = (line) => process.stdout.write(line + "\n");
let latest;

function attach(s) {
    let received = 0;
    latest = s;
    const subject = s.getPeerCertificate().subject;
    say(`made ${s.getProtocol()} alpn=${s.alpnProtocol || "-"} sni=${s.servername || "-"} ` +
        `resumed=${s.isSessionReused() ? "yes" : "no"} verified=${s.authorized ? "yes" : "no"} peer=${subject ? subject.CN : "-"}`);
    s.on("data", (data) => {
        received += data.length;
        if (o.save)
            fs.appendFileSync(o.save, data);
        else
            say("got " + JSON.stringify(data.toString()));
        if (o.expect && received === o.expect)
            s.end();
    });
    s.on("end", () => {
        say("eof");
        if (!o.keep)
            s.end();
    });
    s.on("error", (e) => say(`error ${e.code} ${e.message}`));
    s.on("close", () => say(`closed, ${received} received`));
    if (o.send)
        s.write(fs.readFileSync(o.send));
}

const common = {
    cert: pem(o.cert), key: pem(o.cert), ca: pem(o.ca), ALPNProtocols: o.alpn, allowHalfOpen: true,
    minVersion: o.version, maxVersion: o.version,
};

function serve() {
    const server = tls.createServer({ ...common, requestCert: o.requestCert, rejectUnauthorized: o.requestCert }, attach);
    for (const [name, file] of Object.entries(o.names || {}))
        server.addContext(name, { cert: pem(file), key: pem(file) });
    server.on("tlsClientError", (e) => say(`failed ${e.code} ${e.message}`));
    server.listen(0, "127.0.0.1", () => say(`listening on 127.0.0.1:${server.address().port}`));
}

function connect(times, session) {
    let kept;
    const s = tls.connect({ ...common, host: "127.0.0.1", port: o.port, servername: o.servername || "localhost", session }, () => attach(s));
    s.on("session", (got) => { kept = got; });
    s.once("error", (e) => { if (latest !== s) say(`failed ${e.code} ${e.message}`); });
    s.on("close", () => {
        if (times > 1)
            connect(times - 1, kept || session);
        else
            setImmediate(process.exit, 0); // after the others who listen
    });
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
    if (line.startsWith("send "))
        latest.write(line.slice(5) + "\n");
    else if (line === "end")
        latest.end();
    else if (line === "destroy")
        latest.destroy();
    else if (line === "renegotiate")
        latest.renegotiate({}, (e) => say(`renegotiated ${e ? e.message : "well"}`));
});

if (side === "server")
    serve();
else
    connect(o.times || 1);
