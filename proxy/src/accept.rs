//! Takes redirected connections from a worker's listener.

use std::{future::poll_fn, io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::spawn_local,
};

use crate::{
    drain::Member,
    inspect::Session,
    origin::Ends,
    record::Recorder,
    relay::{Common, Relay},
    socket, terminate,
    world::World,
};

/// Without descriptors or memory `accept` fails at once, over and over; the connection stays in the backlog meanwhile.
const RETRY: Duration = Duration::from_millis(50);

/// What a worker's connections share.
#[derive(Clone)]
pub struct Shared {
    /// The compiled snapshot in force.
    pub world: Arc<ArcSwap<World>>,
    /// Where records go.
    pub recorder: Recorder,
    /// What their relays share.
    pub common: Rc<Common>,
    /// Whether clients are told why they are denied.
    pub explain: bool,
    /// Becomes true when the proxy shall end.
    pub drain: watch::Receiver<bool>,
}

/// Accepts until the proxy drains.
pub async fn accept(listener: TcpListener, shared: Rc<Shared>) {
    let own = listener.local_addr().ok();
    let mut drain = shared.drain.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = drain.wait_for(|drain| *drain) => return,
        };
        match accepted {
            Ok((stream, client)) => {
                // With a transparent listener the local address is where the client wanted to go.
                if let Ok(server) = stream.local_addr()
                    && Some(server) != own
                {
                    let ends = ends(client, server);
                    let member = shared.common.drain.join(ends);
                    spawn_local(serve(stream, ends, Rc::clone(&shared), member));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "accept");
                if !is_about_one_connection(&error) {
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

fn ends(client: SocketAddr, server: SocketAddr) -> Ends {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    Ends { client: canonical(client), server: canonical(server) }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

async fn serve(client: TcpStream, ends: Ends, shared: Rc<Shared>, member: Member) {
    socket::accepted(&client);
    let open = shared.recorder.metrics().connection();
    let Some(mut session) = Session::open(&shared.world, ends, shared.recorder.clone()) else {
        tracing::debug!(?ends, "no policy of this node sent the connection here");
        socket::reset_on_close(&client);
        return;
    };
    if shared.explain {
        session.explain_denials();
    }
    member.register().await;
    let common = Rc::clone(&shared.common);
    // The worker learns of the end when the sockets are closed.
    let end = if session.must_leave() {
        Box::pin(terminate::serve(client, session, common)).await
    } else {
        let mut relay = Relay::new(client, session, common);
        poll_fn(|cx| relay.poll(cx)).await
    };
    tracing::trace!(?ends, ?end, "connection ended");
    drop((member, open));
}
