// Attachments that have no bpf_link: XDP where others must be able to take part, and one filter for TC. The messages are fixed structs with
// a few numbers filled in; the kernel reads descriptors of ours from them.
#include "worker/operations.h"
#include "worker/pins.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstddef>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>

namespace bpfman {

using wire::FilterChange;

namespace {

struct Word {  // an attribute of four bytes
  nlattr head;
  uint32_t value;
};

constexpr Word word(uint16_t type, uint32_t value) { return {{sizeof(Word), type}, value}; }

struct XdpMessage {
  nlmsghdr head{sizeof(XdpMessage), RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, 0, 0};
  ifinfomsg link{};
  nlattr nest{sizeof(XdpMessage) - offsetof(XdpMessage, nest), IFLA_XDP | NLA_F_NESTED};
  Word program = word(IFLA_XDP_FD, -1), flags = word(IFLA_XDP_FLAGS, XDP_FLAGS_UPDATE_IF_NOEXIST),
       expected = word(IFLA_XDP_EXPECTED_FD, -1);
};

struct TcMessage {
  nlmsghdr head{sizeof(TcMessage), 0, NLM_F_REQUEST | NLM_F_ACK, 0, 0};
  tcmsg traffic{};
  nlattr kindHead{sizeof(nlattr) + sizeof kind, TCA_KIND};
  char kind[8] = "bpf";
  nlattr options{sizeof(TcMessage) - offsetof(TcMessage, options), TCA_OPTIONS | NLA_F_NESTED};  // a qdisc's message ends before them
  Word program = word(TCA_BPF_FD, -1), flags = word(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
  nlattr nameHead{sizeof(nlattr) + sizeof name, TCA_BPF_NAME};
  char name[8] = "bpfman";
};

}  // namespace

Answer answerSetXdp(Context& context, Request& request) {
  auto wish = request.as<wire::SetXdp>();
  bool given = request.descriptorCount == 1, replaces = given || wish.hasExpected;
  if ((wish.modes & ~XDP_FLAGS_MODES) || (given && wish.hasExpected) || (!wish.hasProgram && !replaces)) die("malformed XDP attachment");
  if (!covers(context.ceiling.attachTypes, 2, BPF_XDP)) return -EPERM;
  Fd program = wish.hasProgram ? openProgram(context.bpf, wish.program) : Fd();
  Fd expected = wish.hasExpected ? openProgram(context.bpf, wish.expected) : std::move(request.descriptors[0]);
  if (wish.hasProgram && !program) return program.error();
  if (replaces && !expected) return expected.error();

  XdpMessage message;
  message.link.ifi_index = wish.interface;
  message.program.value = program.get(), message.expected.value = expected.get();
  message.flags.value = wish.modes | (replaces ? XDP_FLAGS_REPLACE : XDP_FLAGS_UPDATE_IF_NOEXIST);
  return context.bpf.route(&message, sizeof message);
}

Answer answerSetFilter(Context& context, Request& request) {
  auto wish = request.as<wire::SetFilter>();
  if (wish.change >= FilterChange::count || wish.egress > 1 || wish.priority == 0 || wish.priority > UINT16_MAX || wish.handle == 0)
    die("malformed filter");
  if (!(context.ceiling.programTypes >> BPF_PROG_TYPE_SCHED_CLS & 1)) return -EPERM;
  bool remove = wish.change == FilterChange::remove;
  Fd program = remove ? Fd() : openProgram(context.bpf, wish.program);
  if (!remove && !program) return program.error();

  TcMessage message{.traffic = {0, 0, 0, static_cast<int>(wish.interface), TC_H_MAKE(TC_H_CLSACT, 0), TC_H_CLSACT, 0}};
  if (wish.change == FilterChange::create) {  // a replacement's message has no flag, so it only changes what is there
    message.head.nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
    TcMessage qdisc = message;
    qdisc.head.nlmsg_len = offsetof(TcMessage, options), qdisc.head.nlmsg_type = RTM_NEWQDISC;
    memcpy(qdisc.kind, "clsact", sizeof "clsact");
    int error = context.bpf.route(&qdisc, qdisc.head.nlmsg_len);
    if (error && error != -EEXIST) return error;  // EEXIST may also be an `ingress` qdisc: the frontend looks first
  }
  message.head.nlmsg_type = remove ? RTM_DELTFILTER : RTM_NEWTFILTER, message.traffic.tcm_handle = wish.handle;
  message.traffic.tcm_parent = TC_H_MAKE(TC_H_CLSACT, wish.egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
  message.traffic.tcm_info = TC_H_MAKE(wish.priority << 16, htons(ETH_P_ALL));
  message.program.value = program.get();
  return context.bpf.route(&message, sizeof message);
}

}  // namespace bpfman
