// Every number that bounds what a client can make the frontend do, with its unit. docs/limits.md lists them for users; the tests
// try each at the limit and one above.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bpfman::limits {

// ---- what a client hands over ----
constexpr uint64_t OBJECT_BYTES = 16ull << 20;       // one ELF object
constexpr uint32_t ALTERNATIVES_PER_LOAD = 8;        // lists of programs, besides the first
constexpr uint32_t GLOBALS_PER_LOAD = 256;           // variables
constexpr uint32_t GLOBAL_BYTES = 64 << 10;          // one variable's value
constexpr uint32_t GLOBALS_BYTES = 1 << 20;          // all values of one load together
constexpr uint32_t SIGNATURE_BYTES = 8192;           // of one program; the kernel's
constexpr uint32_t METADATA_PAIRS = 64;              // of one program or link
constexpr uint32_t METADATA_BYTES = 16 << 10;        // keys and values of one program or link together
constexpr uint32_t NAME_BYTES = 255;                 // a function's, interface's or application's name
constexpr uint32_t PATH_BYTES = 4096;                // a path that is kept and shown, never opened
constexpr uint32_t PLACE_BYTES = 64 << 10;           // what a link keeps of where it was to be attached
constexpr uint32_t TICKETS_PER_USER = 16;            // that were not redeemed; and connections to fd.sock
constexpr uint32_t NARROWED_INTERFACES = 64;         // names in one narrowing
constexpr uint32_t TOKENS_PER_USER = 64;             // file systems with tokens, in one boot
constexpr uint32_t CONTEXT_BYTES = 65535;            // of a program that is run; the kernel's
constexpr uint32_t REQUEST_ID_BYTES = 64;            // as the client chose them
constexpr uint32_t MAP_READ_ENTRIES = 4096;          // of one Map.read
constexpr uint32_t ELEMENT_ITERATORS = 32;           // programs that are kept for it, one for each pair of a key's and a value's size
constexpr uint64_t PERSISTENT_BYTES = 256ull << 20;  // objects of one user's persistent programs together
constexpr uint32_t MODULE_TYPES_BYTES = 12 << 20;    // of all modules of the kernel that one load uses
constexpr uint32_t UPLOADS_PER_CONNECTION = 4;       // begun and neither used nor dropped

// ---- the RPC ----
constexpr uint64_t MESSAGE_WORDS = 131072;       // 8 bytes each: 1 MiB a message; capnp::ReaderOptions::traversalLimitInWords
constexpr int MESSAGE_NESTING = 32;              // capnp::ReaderOptions::nestingLimit
constexpr uint32_t DESCRIPTORS_PER_MESSAGE = 4;  // even: kj's control buffer then has no room for a fifth, which it would close
constexpr uint32_t CONNECTIONS = 256;            // in all
constexpr uint32_t CAPABILITIES = 1024;          // that one connection holds at once
constexpr uint32_t DESCRIPTORS_HELD = 64;        // maps' descriptors of one connection, until it lets go of their capabilities
constexpr uint32_t DESCRIPTORS_IN_FLIGHT = 8;    // sent to one connection and not received: they are charged to us, for all clients
constexpr uint64_t UNREAD_BYTES = 16ull << 20;   // of answers that a user has not taken: until he does, no new calls

// ---- changes ----
constexpr uint32_t CHANGE_STEPS = 64;         // of one change
constexpr uint32_t CONFIRM_SECONDS = 86'400;  // that one may wait to be confirmed

// ---- the audit ----
constexpr size_t AUDIT_BYTES = 10 << 20;      // of one file
constexpr size_t AUDIT_FILES = 4;             // older ones that are kept
constexpr uint32_t AUDIT_LINES = 1000;        // in one answer
constexpr uint32_t DENIALS_PER_MINUTE = 100;  // lines of one user

// ---- a hook ----
constexpr uint32_t TAIL_CALLS = 33;                    // the kernel's limit for one run of a chain, members' own included
constexpr uint32_t PROBED_FUNCTIONS = 4096;            // of one kprobe.multi link
constexpr uint32_t PROBED_FUNCTIONS_BYTES = 60 << 10;  // their names together, each with its end
constexpr uint64_t PROBED_OFFSET = 1 << 20;            // of a kprobe: below. The kernel takes the lower 32 bits of any
constexpr uint32_t PROBED_PATTERNS = 16;               // of one kprobe.multi link
constexpr uint32_t PATTERN_STARS = 4;                  // in one of them
constexpr uint32_t PROBED_PLACES = 2048;               // of one uprobe.multi link
constexpr int32_t PRIORITY_MAX = 2147483647;

// ---- the host ----
constexpr uint32_t OPERATOR_PROGRAMS = 256;            // default of a role's max_programs: of one uid at once
constexpr uint64_t OPERATOR_MEMORY = 1ull << 30;       // default of a role's max_memory: of all that one user has loaded, bytes
constexpr uint64_t OPERATOR_MAP_BYTES = 256ull << 20;  // default of a role's max_map_bytes: of one load
constexpr uint32_t CLOSERS = 32;                       // threads that may hang in a client's descriptor at once
constexpr uint32_t ID_MAX = 2147483647;                // of our own ids

}  // namespace bpfman::limits
