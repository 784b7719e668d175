//! What the nodes are asked: scripts, so that looking and writing are one step.
//!
//! All but two take the key, the register of generations, the node's name, the generation that the
//! caller knows, and then their own arguments; they answer `{code, bytes, number}`. A caller that
//! is behind gets [`STALE`] and the node's generation, and nothing is done.
//!
//! A key holds `V` and a value, or `L` and the name of a lease.

use std::sync::LazyLock;

use redis::Script;

/// Number: the generation.
pub(super) const STALE: i64 = 0;
pub(super) const ABSENT: i64 = 1;
/// Bytes: the value, with its mark. Number: how many milliseconds it has left.
pub(super) const VALUE: i64 = 2;
pub(super) const LEASED: i64 = 3;
pub(super) const DONE: i64 = 4;

macro_rules! script {
    ($($line:literal)*) => {
        LazyLock::new(|| {
            Script::new(concat!(
                "local here = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')\n",
                "local mine = tonumber(ARGV[2])\n",
                "if here > mine then return {0, false, here} end\n",
                "if here < mine then redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) end\n",
                $($line, "\n",)*
            ))
        })
    };
}

/// What is there.
pub(super) static PEEK: LazyLock<Script> = script!(
    "local found = redis.call('GET', KEYS[1])"
    "if not found then return {1, false, 0} end"
    "if string.sub(found, 1, 1) == 'L' then return {3, false, 0} end"
    "return {2, found, redis.call('PTTL', KEYS[1])}"
);

/// What is there; if nothing is, the lease ARGV[3] from now on, for ARGV[4] milliseconds.
pub(super) static TAKE: LazyLock<Script> = script!(
    "local found = redis.call('GET', KEYS[1])"
    "if not found then"
    "  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])"
    "  return {1, false, 0}"
    "end"
    "if string.sub(found, 1, 1) == 'L' then return {3, false, 0} end"
    "return {2, found, redis.call('PTTL', KEYS[1])}"
);

/// The value ARGV[4], for ARGV[5] milliseconds, in place of the lease ARGV[3], if it is still
/// there. A copy tells the node that it comes from, and under which generation it was read there:
/// if that has been distrusted since, it is nothing.
pub(super) static FILL: LazyLock<Script> = script!(
    "if redis.call('GET', KEYS[1]) ~= ARGV[3] then return {1, false, 0} end"
    "if ARGV[6] and tonumber(redis.call('HGET', KEYS[2], ARGV[6]) or '0') > tonumber(ARGV[7]) then"
    "  redis.call('DEL', KEYS[1])"
    "  return {1, false, 0}"
    "end"
    "redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])"
    "return {4, false, 0}"
);

/// The lease ARGV[3] for ARGV[4] milliseconds, in place of whatever is there.
pub(super) static SEIZE: LazyLock<Script> = script!(
    "redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])"
    "return {4, false, 0}"
);

/// Nothing, in place of the lease ARGV[3].
pub(super) static RELEASE: LazyLock<Script> = script!(
    "if redis.call('GET', KEYS[1]) == ARGV[3] then redis.call('DEL', KEYS[1]) end"
    "return {4, false, 0}"
);

/// Merges the register KEYS[1] with what the caller knows: names and generations in turn. Answers
/// the generations.
pub(super) static SYNC: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local merged = {}
         for i = 1, #ARGV, 2 do
           local here = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0')
           local known = tonumber(ARGV[i + 1])
           if here < known then
             redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
             here = known
           end
           merged[#merged + 1] = here
         end
         return merged",
    )
});

/// The next generation of ARGV[1] in the register KEYS[1], beyond ARGV[2] and what is known there.
pub(super) static NEXT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local here = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
         local next = math.max(here, tonumber(ARGV[2])) + 1
         redis.call('HSET', KEYS[1], ARGV[1], next)
         return next",
    )
});
