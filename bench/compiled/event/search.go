package event

// words of which one stands in every text that a detector can find something in, in lower case; the search ignores the case
// of ASCII letters. Patterns that ignore case also match ſ for s and the Kelvin sign for k: words end before such a letter,
// or are there in both forms.
var words = map[string][]string{
	"private_key":               {"private key"},
	"aws_secret_key":            {"ecret", "ion_to", "ionto"},
	"azure_key":                 {"account_", "accountk", "account\xe2", "access", "acces\xc5", "acce\xc5", "sig=", "sig%3d"},
	"jwt":                       {"eyj"},
	"aws_access_key":            {"akia", "asia", "abia", "acca"},
	"gitlab_token":              {"glpat-", "gloas-", "gldt-", "glrt-", "glrtr-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "glwt-", "glsoat-", "glffct-"},
	"gitlab_registration_token": {"gr1348941"},
	"github_token":              {"ghp_", "gho_", "ghu_", "ghs_", "ghr_"},
	"github_fine_grained_token": {"github_pat_"},
	"slack_token":               {"xox", "xapp-"},
	"slack_webhook":             {"hooks.slack.com"},
	"gcp_api_key":               {"aiza"},
	"url_password":              {":/", `:\`, "%3a%2f%2f"},
	"authorization":             {"authorization"},
	"bearer_token":              {"bearer"},
	"header_token":              {"-to", "api-"},
	"email":                     {"@", "%40"},
}

// search finds many words in one pass over a text (Aho and Corasick), as a table of state and byte.
type search struct {
	next  [][256]uint16
	found []uint32 // what the words that end in a state are for
}

func newSearch(words map[string]uint32) *search {
	made := &search{next: make([][256]uint16, 1), found: make([]uint32, 1)}
	for word, of := range words {
		state := uint16(0)
		for i := range len(word) {
			if made.next[state][word[i]] == 0 {
				made.next = append(made.next, [256]uint16{})
				made.found = append(made.found, 0)
				made.next[state][word[i]] = uint16(len(made.next) - 1)
			}
			state = made.next[state][word[i]]
		}
		made.found[state] |= of
	}
	made.complete()
	return made
}

// complete adds where to go on when a word does not, breadth first, and upper case.
func (s *search) complete() {
	back := make([]uint16, len(s.next))
	queue := []uint16{0}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		s.found[state] |= s.found[back[state]]
		for b := range 256 {
			child, other := s.next[state][b], s.next[back[state]][b]
			switch {
			case child == 0:
				if state != 0 {
					s.next[state][b] = other
				}
			case state != 0:
				back[child] = other
				fallthrough
			default:
				queue = append(queue, child)
			}
		}
		for b := 'A'; b <= 'Z'; b++ {
			s.next[state][b] = s.next[state][b+'a'-'A']
		}
	}
}

func (s *search) in(text []byte) uint32 {
	state, found := uint16(0), uint32(0)
	for _, b := range text {
		state = s.next[state][b]
		found |= s.found[state]
	}
	return found
}
