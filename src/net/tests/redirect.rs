//! Answers that lead elsewhere: every client of the program makes its requests by this transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::peer::{exchange, read_request, send, serve};
use crate::auth::options::NetworkOptions;
use crate::net::Transport;

#[tokio::test]
async fn an_answer_that_leads_elsewhere_is_returned_and_not_followed() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    let other = serve(move |_, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        std::future::ready(())
    })
    .await;
    let transport = Transport::new(&NetworkOptions::default(), super::drip::LONG).unwrap();
    for status in [300, 301, 302, 303, 305, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: {0}/x\r\nrefresh: 0; url={0}/x\r\n\
             content-length: 0\r\n\r\n",
            other.origin()
        );
        let answer = Arc::new(answer);
        let endpoint = serve(move |_, mut stream| {
            let answer = answer.clone();
            async move {
                read_request(&mut stream, 3).await;
                send(&mut stream, &answer).await;
            }
        })
        .await;
        assert_eq!(exchange(&transport, &endpoint, 3).await.unwrap().status, status);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}
