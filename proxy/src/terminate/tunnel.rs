//! After an upgrade: bytes in both directions, unseen.

use std::io;

use hyper::upgrade::{OnUpgrade, Parts};
use tokio::net::TcpStream;

use super::{
    Connection,
    wire::{Activity, ClientWire, UpstreamWire},
};
use crate::{relay::End, socket};

/// Bytes per read at most.
const PIECE: usize = 64 << 10;

/// Two connections that will have left HTTP.
pub(super) struct Tunnel {
    pub(super) client: OnUpgrade,
    pub(super) upstream: OnUpgrade,
}

impl Tunnel {
    /// Copies until both directions have ended.
    pub(super) async fn run(self, connection: &Connection) -> End {
        let (Ok(client), Ok(upstream)) = tokio::join!(self.client, self.upstream) else { return End::Aborted };
        let (Ok(client), Ok(upstream)) = (client.downcast::<ClientWire>(), upstream.downcast::<UpstreamWire>()) else {
            return End::Aborted;
        };
        let Parts { io: wire, read_buf: of_client, .. } = client;
        let Parts { io: server, read_buf: of_server, .. } = upstream;
        let (client, server, activity) = (&*connection.client, &*server.stream, &*connection.activity);
        let up = async {
            write_all(server, &of_client, activity).await.map_err(|_| End::UpstreamReset)?;
            write_all(server, wire.rest(), activity).await.map_err(|_| End::UpstreamReset)?;
            copy(client, server, activity, [End::ClientReset, End::UpstreamReset]).await
        };
        let down = async {
            write_all(client, &of_server, activity).await.map_err(|_| End::ClientReset)?;
            copy(server, client, activity, [End::UpstreamReset, End::ClientReset]).await
        };
        tokio::try_join!(up, down).map_or_else(|end| end, |_| End::Finished)
    }
}

/// Copies to the end of `from`, and passes that on. `ends`: what an error of either side means.
async fn copy(from: &TcpStream, to: &TcpStream, activity: &Activity, ends: [End; 2]) -> Result<(), End> {
    let mut piece = vec![0; PIECE];
    loop {
        from.readable().await.map_err(|_| ends[0])?;
        let n = match from.try_read(&mut piece) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err(ends[0]),
        };
        activity.touch();
        write_all(to, &piece[..n], activity).await.map_err(|_| ends[1])?;
    }
    socket::finish(to);
    Ok(())
}

async fn write_all(to: &TcpStream, mut data: &[u8], activity: &Activity) -> io::Result<()> {
    while !data.is_empty() {
        to.writable().await?;
        match to.try_write(data) {
            Ok(n) => data = &data[n..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        activity.touch();
    }
    Ok(())
}
