//! Blocks for transfers: as many as were ever in flight at once, and those whose end was just being told; then nothing is
//! allocated any more.
//!
//! Why not leave free blocks to the endpoint's own pool? A block's way there and back is locked each time. Here the pipe is
//! locked anyway, and what ended meanwhile is fetched all at once.

use isoch::{Block, Blocks, Layout};

use super::Endpoint;
use super::pending::Pending;
use crate::failure::Failure;

/// The blocks of a pipe, by how many packets they hold.
#[derive(Default)]
pub(super) struct Arena {
    pools: Vec<Pool>,
    /// Kept for its memory: empty between calls.
    returned: Vec<(u32, Block)>,
}

struct Pool {
    packets: u32,
    /// Blocks made so far, by doubling.
    made: u32,
    free: Vec<Block>,
    /// Where they come from; and go if they were not sent.
    registered: Vec<Blocks>,
}

impl Arena {
    /// A free block that holds so many packets.
    pub(super) fn take(
        &mut self,
        endpoint: &Endpoint,
        packets: u32,
        pending: &Pending,
    ) -> Result<Block, Failure> {
        if let Some(block) = self.pool(packets).free.pop() {
            return Ok(block);
        }
        let mut returned = std::mem::take(&mut self.returned);
        pending.take_returned(&mut returned);
        for (packets, block) in returned.drain(..) {
            self.pool(packets).free.push(block);
        }
        self.returned = returned;
        let pool = self.pool(packets);
        if let Some(block) = pool.free.pop() {
            return Ok(block);
        }
        // The newest registration is the largest.
        if let Some(block) = pool.registered.iter().rev().find_map(|blocks| blocks.take().now()) {
            return Ok(block);
        }
        let layout = Layout::packets(pool.packets);
        let mut more = pool.made.clamp(4, 1024);
        let blocks = match endpoint.register(layout.blocks(more)) {
            Err(isoch::Error::Budget { .. }) => {
                more = 1;
                endpoint.register(layout.blocks(more))
            }
            registered => registered,
        }?;
        pool.made += more;
        let block = blocks.take().now();
        pool.registered.push(blocks);
        block.ok_or_else(|| Failure::argument("the transfer needs a block, and there is none"))
    }

    /// Lengths differ a little from transfer to transfer; they share blocks of the next power of two.
    fn pool(&mut self, packets: u32) -> &mut Pool {
        let packets = packets.next_power_of_two();
        let index = self.pools.iter().position(|pool| pool.packets == packets).unwrap_or_else(|| {
            self.pools.push(Pool { packets, made: 0, free: Vec::new(), registered: Vec::new() });
            self.pools.len() - 1
        });
        &mut self.pools[index]
    }
}
