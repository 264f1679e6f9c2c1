// SPDX-License-Identifier: LGPL-2.1-or-later
/* Words are counted in a heap of their own; what is only needed meanwhile is on a stack. */
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <pymalloc.hpp>

int main()
{
	pymalloc::heap heap;
	std::pmr::map<std::pmr::string, int> words(heap.resource());
	std::istringstream text("of all that is in a heap, a heap knows all that is in it");

	for (std::pmr::string word(heap.resource()); text >> word;)
		words[word]++;
	{
		pymalloc::stack_scope scope(heap.get());
		std::pmr::vector<const decltype(words)::value_type *> often(scope.resource());

		for (const auto &word : words)
			if (word.second > 1)
				often.push_back(&word);
		for (const auto *word : often)
			std::cout << word->first << " " << word->second << "\n";
	}
}
