/* All of Eddy. */
#ifndef EDDY_EDDY_H
#define EDDY_EDDY_H

#include <eddy/addr.h>
#include <eddy/base.h>
#include <eddy/bytes.h>
#include <eddy/child.h>
#include <eddy/connection.h>
#include <eddy/datagram.h>
#include <eddy/executor.h>
#include <eddy/frame.h>
#include <eddy/future.h>
#include <eddy/line.h>
#include <eddy/loop.h>
#include <eddy/pipe.h>
#include <eddy/policy.h>
#include <eddy/protocol.h>
#include <eddy/relay.h>
#include <eddy/resolver.h>
#include <eddy/selector.h>
#include <eddy/sendfile.h>
#include <eddy/server.h>
#include <eddy/sock.h>
#include <eddy/subprocess.h>
#include <eddy/tls.h>
#include <eddy/transport.h>
#include <eddy/unix.h>

#endif
