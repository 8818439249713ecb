//! What a server that was started again, and one that only shows the same identity, say to the clients of another.

use tokio::net::UdpSocket as AsyncSocket;

use super::*;

/// Larger than any stateless reset, which must be smaller than what it answers.
const CONTENT: [u8; 600] = [7; 600];
/// Smallest datagram that may open a connection (RFC 9000, section 14.1).
const INITIAL_BYTES: usize = 1200;

async fn here_bound() -> AsyncSocket {
    AsyncSocket::bind("127.0.0.1:0").await.unwrap()
}

fn is_short_header(packet: &[u8]) -> bool {
    packet[0] & 0x80 == 0
}

/// Carries packets between a client and a server until the client has sent one that is large and belongs to a connection
/// that stands: that packet, which was not passed on.
async fn carry_until_a_large_packet(front: &AsyncSocket, server: SocketAddr) -> Vec<u8> {
    let back = here_bound().await;
    let (mut up, mut down) = ([0; 2048], [0; 2048]);
    let mut client = None;
    loop {
        tokio::select! {
            received = front.recv_from(&mut up) => {
                let (len, from) = received.unwrap();
                client = Some(from);
                if is_short_header(&up) && len > CONTENT.len() && len < INITIAL_BYTES {
                    return up[..len].to_vec();
                }
                back.send_to(&up[..len], server).await.unwrap();
            }
            received = back.recv_from(&mut down) => {
                let len = received.unwrap().0;
                front.send_to(&down[..len], client.expect("the client speaks first")).await.unwrap();
            }
        }
    }
}

/// What a server answers to a packet first, if it answers at all: a question that every server answers follows.
async fn first_answer(packet: &[u8], server: SocketAddr) -> Vec<u8> {
    let mut question = vec![0; INITIAL_BYTES];
    // A long header of a version that nobody speaks, with connection ids of eight bytes.
    question[..6].copy_from_slice(&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8]);
    question[14] = 8;
    let (socket, mut answer) = (here_bound().await, [0; 2048]);
    socket.send_to(packet, server).await.unwrap();
    socket.send_to(&question, server).await.unwrap();
    let len = timeout(LONG, socket.recv(&mut answer)).await.expect("an answer").unwrap();
    answer[..len].to_vec()
}

#[tokio::test]
async fn only_the_same_server_started_again_resets_a_connection() {
    let (server_id, client_id) = (identity(), identity());
    let (first, sibling) = (listen_as(&server_id), listen_as(&server_id));
    let (front, addr) = (here_bound().await, first.local_addr());
    let relayed = front.local_addr().unwrap();
    let client = async {
        let tuning = tuning();
        let client = connect(&[relayed], server_id.fingerprint(), &client_id, &tuning, LONG).await.unwrap();
        let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
        send.write_all(b"?").await.unwrap();
        recv.read_exact(&mut [0]).await.unwrap();
        // From here on nothing of the handshake travels in the same datagrams.
        send.write_all(&CONTENT).await.unwrap();
        std::future::pending::<()>().await;
    };
    let serve = async {
        let connection = accept_one(&first).await.unwrap();
        let (mut send, _recv) = connection.accept_bi().await.unwrap();
        send.write_all(b"!").await.unwrap();
        end_of(&connection).await
    };
    let packet = tokio::select! {
        packet = timeout(LONG, carry_until_a_large_packet(&front, addr)) => packet.expect("the client sends one"),
        () = client => unreachable!("it waits for ever"),
        end = serve => panic!("{end}"),
    };
    let answer = first_answer(&packet, sibling.local_addr()).await;
    assert!(!is_short_header(&answer), "the other server has reset a connection that is none of its own");
    first.close(CloseCode::GoingAway, "");
    first.wait_idle().await;
    drop(first);
    let again = loop {
        // The socket is closed by the endpoint's driver, a moment later.
        match listen(addr, &server_id, &tuning()) {
            Ok(again) => break again,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let answer = first_answer(&packet, again.local_addr()).await;
    assert!(is_short_header(&answer), "clients of a server that was started again wait for the idle timeout");
}
