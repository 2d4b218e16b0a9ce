//! Sends a request, and holds on to its response beyond the call if it is told to.

use exports::test::holds::holder::Guest;
use std::cell::RefCell;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, IncomingResponse, OutgoingRequest, Scheme};

wares_sdk::component!(Component);

struct Component;

thread_local! {
    static HELD: RefCell<Vec<IncomingResponse>> = const { RefCell::new(Vec::new()) };
}

impl Guest for Component {
    fn get(authority: String, path: String, hold: bool) -> Result<u16, String> {
        let request = OutgoingRequest::new(Fields::new());
        request.set_scheme(Some(&Scheme::Http)).map_err(|()| "refused scheme")?;
        request.set_authority(Some(&authority)).map_err(|()| "refused authority")?;
        request.set_path_with_query(Some(&path)).map_err(|()| "refused path")?;
        let answer = handle(request, None).map_err(|code| format!("{code:?}"))?;
        answer.subscribe().block();
        let response = answer.get().ok_or("no answer")?.map_err(|()| "answer taken")?;
        let response = response.map_err(|code| format!("{code:?}"))?;
        let status = response.status();
        if hold {
            HELD.with_borrow_mut(|held| held.push(response));
        }
        Ok(status)
    }
}
